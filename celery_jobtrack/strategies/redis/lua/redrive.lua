-- uses: redriving
-- Record that a job which did not succeed is about to be published again, as a new run.
-- Guards: it ended in one of the states given; it would run in the generation given; its group is not being
-- cancelled.
-- ARGV: 2 job, 3 states from which, 4 '1' if there is a message, 5 message, 6 generation or ''
-- Writes the job, its group, the message.
-- Gives [whether it was applied, job or false, false], or [104, texts of the group, its id].

local id = ARGV[2]
local job, raw = load_job(id)
if not job then return pack({0, false, false}) end
local was = places(job)
if not ARGV[3]:find(job[J.state], 1, true) then return pack({0, raw, false}) end
open_group(job[J.group_id])
if group and ARGV[6] ~= '' then
  local following = group[G.completed_at] and 1 or 0
  if group[G.generation] + following ~= tonumber(ARGV[6]) then return pack({0, raw, false}) end
end
if refuses_redrive() then
  return pack({SAY.cancelling_group, call('GET', root .. ':c:' .. group_id), group_id})
end
local enters = redrive(job)
raw = save_redriven(id, job, was, enters)
if group then save_group() end
if ARGV[4] == '1' then call('SET', root .. ':b:' .. id, ARGV[5]) end
return pack({1, raw, false})
