-- uses: transition
-- The job and the attempt that retry and finish speak of: a start that never arrived is recorded first.
--
-- ARGV: 2 claimant, 3 job, 4 token, 5 retries, 6 run, 7 worker, 8 reruns, 9 origin or ''

local id, token = ARGV[3], ARGV[4]
local job, raw = load_job(id)
local was = places(job)
local attempt, place

-- Gives what to answer when there is nothing to close: false if the job is not known well enough.
local function find_attempt()
  if job then
    attempt, place = attempt_of(id, job, token)
    if attempt then
      if not attempt[A.outcome] then open_group(job[J.group_id]) end
      return true
    end
    -- A body that claims keys never runs without having asked, so this is of no attempt of a parked job.
    if job[J.state] >= STATE.SUCCESS or is_open(job) or job[J.state] == STATE.WAITING then return true end
  elseif ARGV[9] == '' then
    return false
  end
  -- The body has run, so no guard may refuse it any more.
  if job then
    move(job, STATE.STARTED)
    open_group(job[J.group_id])
  else
    job = new_job(ARGV[9], STATE.STARTED)
    open_group(job[J.group_id])
    join_if_open(job)
  end
  open_attempt(job, token, ARGV[7], tonumber(ARGV[5]), ARGV[8] ~= '')
  attempt = job[J.attempt]
  start_group(job)
  return true
end
