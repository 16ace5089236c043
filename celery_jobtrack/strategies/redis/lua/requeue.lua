-- uses: transition
-- Close the open attempt of a lost worker, and put its job back into the queue.
-- Guards: the token is that of the open attempt, and nobody has asked for the job's end.
-- ARGV: 2 job, 3 token, 4 error or ''
-- Writes the job and its group, its places at keys.
-- Gives [whether it was applied, job or false, false, and of a job with keys who is called].

local id = ARGV[2]
local job, raw = load_job(id)
if not job then return pack({0, false, false}) end
local was = places(job)
if not is_open(job) or job[J.attempt][A.token] ~= ARGV[3] or job[J.cancel_requested] then
  return pack({0, raw, false})
end
open_group(job[J.group_id])
move(job, STATE.ENQUEUED)
close_attempt(job, OUTCOME.LOST, nil)
job[J.attempt][A.error] = ARGV[4] ~= '' and unpacked(ARGV[4]) or nil
job[J.published_at] = now
local called = leave_keys(id, job)
raw = commit(id, job, was, '')
return pack({1, raw, false, called})
