-- uses: started
-- Record how an attempt ended, and what follows for its job and its group.
-- Guards: the attempt is open; of a closed one the outcome is kept as late and nothing else changes.
-- ARGV: those of started.lua, 10 outcome, 11 the job's state after it, 12 reason or '', 13 error or '',
--       14 what the job returned, if that is to be kept
-- Writes the job, its group, events, the result, its places at keys.
-- Gives [whether it was applied, job, event, and of a job with keys who is called], or [100].

if not find_attempt() then return pack({SAY.unknown_origin}) end
local outcome, state = tonumber(ARGV[10]), tonumber(ARGV[11])
if not attempt then return pack({0, raw, false}) end
if attempt[A.outcome] then
  return pack({0, keep_late(id, job, raw, attempt, place, outcome), false})
end

local event
local problem = ARGV[13] ~= '' and unpacked(ARGV[13]) or nil
move(job, state)
if state >= STATE.SUCCESS then
  close_attempt(job, outcome, problem)
  end_job(job, tonumber(ARGV[12]))
else
  -- The job goes on: what went wrong is the attempt's.
  close_attempt(job, outcome, nil)
  attempt[A.error] = problem
  -- A job replaced by a chain or a group has no message until its last task is published, and its old
  -- one must not be published again.
  job[J.published_at] = outcome ~= OUTCOME.REPLACED and now or nil
end
local called = leave_keys(id, job)
raw, event = commit(id, job, was, ARGV[2])
if ARGV[14] then call('SET', root .. ':r:' .. id, ARGV[14]) end
return pack({1, raw, event, called})
