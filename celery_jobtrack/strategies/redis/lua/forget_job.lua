-- uses: removing locks
-- Delete one job, with all that belongs to it.
-- Guards: it has ended; no message of it may still come (model/forgetting.py, once more); it is not counted in
-- a generation that is not over, and no event of its group is pending.
-- ARGV: 2 job
-- Writes the job, its places at keys, how many members of its group are left. Its group's counters stay.
-- Gives [1, who is called], [0] if it is not recorded, or why not, the job, and texts of its group.

local id = ARGV[2]
local job, raw = load_job(id)
if not job then return pack({0}) end

local function may_come_back()
  if job[J.copies] and job[J.copies] > 0 then return true end
  if job[J.state] ~= STATE.REVOKED or job[J.reason] == REASON.EXPIRED then return false end
  if not job[J.started_at] or not job[J.published_at] then return true end
  return job[J.started_at] < job[J.published_at]
end

if job[J.state] < STATE.SUCCESS then return pack({SAY.not_ended, raw}) end
if may_come_back() then return pack({SAY.coming_back, raw}) end
open_group(job[J.group_id])
if is_awaited(job) then return pack({SAY.awaited_member, raw, call('GET', root .. ':c:' .. group_id)}) end
local called = leave_keys(id, job) or {}
remove_job(id, job)
return pack({1, called})
