-- uses: transition
-- Record that a job shall not run: a queued one is ended, a running one is flagged.
-- ARGV: 2 claimant, 3 job
-- Writes the job, its group, events, its places at keys.
-- Gives [whether it was ended, job, event, and of a job with keys who is called]; job false if unknown.

local id = ARGV[3]
local job, raw = load_job(id)
if not job then return pack({0, false, false}) end
local was = places(job)

if is_open(job) then
  if not job[J.cancel_requested] then
    job[J.cancel_requested] = true
    raw = write_job(id, job)
  end
  return pack({0, raw, false})
end
local state = job[J.state]
if state ~= STATE.ENQUEUED and state ~= STATE.RETRY and state ~= STATE.WAITING then
  return pack({0, raw, false})
end
local event
open_group(job[J.group_id])
move(job, STATE.REVOKED)
set_error(job, nil)
job[J.copy_waiting] = nil
end_job(job, REASON.CANCELLED)
local called = leave_keys(id, job)
raw, event = commit(id, job, was, ARGV[2])
return pack({1, raw, event, called})
