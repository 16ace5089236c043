-- uses: started
-- Record the next retry, or the replacement, of a running job before it is published.
-- Guards: the attempt is open; of a closed one the outcome is kept as late and nothing else changes.
-- ARGV: those of started.lua, 10 outcome, 11 the job's state after it, 12 error or '',
--       13 what the new message says, 14 '1' if there is a message, 15 message
-- Writes the job, its group, events, the message, its places at keys.
-- Gives [whether it was applied, job, event, and of a job with keys who is called], or [100].

if not find_attempt() then return pack({SAY.unknown_origin}) end
local outcome = tonumber(ARGV[10])
if not attempt then return pack({0, raw, false}) end
if attempt[A.outcome] then
  return pack({0, keep_late(id, job, raw, attempt, place, outcome), false})
end

local event
local origin = unpacked(ARGV[13])
move(job, tonumber(ARGV[11]))
close_attempt(job, outcome, ARGV[12] ~= '' and unpacked(ARGV[12]) or nil)
if (origin[J.retries] or 0) > (job[J.retries] or 0) then job[J.retries] = origin[J.retries] end
job[J.eta], job[J.published_at] = origin[J.eta], now
for _, field in ipairs({J.expires_at, J.queue, J.priority}) do
  if origin[field] ~= nil then job[field] = origin[field] end
end
if outcome == OUTCOME.REPLACED then
  job[J.task], job[J.args], job[J.kwargs] = origin[J.task], origin[J.args], origin[J.kwargs]
end
local called = leave_keys(id, job)
raw, event = commit(id, job, was, ARGV[2])
if ARGV[14] == '1' then call('SET', root .. ':b:' .. id, ARGV[15]) end
return pack({1, raw, event, called})
