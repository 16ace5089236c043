-- uses: transition
-- Record a job's end from outside its attempt.
-- Guards: an open attempt must be the one that is named; without one the state must be among those given,
--         and the job not at a later try or run than the message that a worker tells of.
-- ARGV: 2 claimant, 3 job, 4 origin or '', 5 '1' to record what is unknown, 6 state, 7 reason,
--       8 error or '', 9 states to end from, 10 worker or '', 11 token or '', 12 retries, 13 outcome,
--       14 run of the message or ''
-- Writes the job, its group, events, its places at keys.
-- Gives [whether it was applied, job or false, event, and of a job with keys who is called], or [100].

local id, state, token = ARGV[3], tonumber(ARGV[6]), ARGV[11]
local job, raw = load_job(id)
local was = places(job)
local problem = ARGV[8] ~= '' and unpacked(ARGV[8]) or nil
local event

if not job then
  if ARGV[5] ~= '1' then return pack({0, false, false}) end
  if ARGV[4] == '' then return pack({SAY.unknown_origin}) end
  job = new_job(ARGV[4], state)
  open_group(job[J.group_id])
  join_if_open(job)
  job[J.error] = problem
elseif ARGV[14] ~= '' and tonumber(ARGV[14]) < (job[J.run] or 1) then
  return pack({0, raw, false})
elseif is_open(job) then
  local attempt = job[J.attempt]
  local named = token == attempt[A.token]
  if token == '' then
    named = ARGV[10] == attempt[A.worker_id] and tonumber(ARGV[12]) == (attempt[A.retries] or 0)
  end
  if not named then return pack({0, raw, false}) end
  open_group(job[J.group_id])
  move(job, state)
  close_attempt(job, tonumber(ARGV[13]), problem)
else
  local behind = ARGV[10] ~= '' and tonumber(ARGV[12]) < (job[J.retries] or 0)
  if behind or not ARGV[9]:find(job[J.state], 1, true) then return pack({0, raw, false}) end
  open_group(job[J.group_id])
  move(job, state)
  set_error(job, problem)
end
job[J.copy_waiting] = nil
end_job(job, tonumber(ARGV[7]))
local called = leave_keys(id, job)
raw, event = commit(id, job, was, ARGV[2])
return pack({1, raw, event, called})
