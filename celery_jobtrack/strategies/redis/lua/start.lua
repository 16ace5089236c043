-- uses: transition gates
-- Record that an attempt starts, if the job may run.
-- Guards: those of model/moves.py, in its order; a token that is known is the same call again.
-- ARGV: 2 claimant, 3 job, 4 token, 5 retries, 6 run, 7 worker, 8 reruns, 9 origin or '',
--       10 further groups whose cancelling refuses the job, or '', 11 the keys that it claims, or '',
--       12 '1' if its body runs already, so that no halt may hold it back; all three may be missing
-- Writes the job with its attempt, its group, events, its places at keys.
-- Gives [0 | refusal, whether the refusal ended the job, job, event], or [100] if it wants the origin;
-- of a job with keys also its fences, who is called, who is superseded.

local id, token, retries, run = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local job, raw = load_job(id)
local was = places(job)
local cancelled

if job then
  local attempt = attempt_of(id, job, token)
  if attempt then
    if attempt[A.outcome] then return pack({REFUSAL.CLOSED, 0, raw, false}) end
    return pack({0, 0, raw, false, job[J.keyed] and lock_rules().fences(job) or nil})
  end
  if job[J.state] >= STATE.SUCCESS then return pack({REFUSAL.FINAL, 0, raw, false}) end
  local last_run, last_retries = job[J.run] or 1, job[J.retries] or 0
  if run < last_run or run == last_run and retries < last_retries then
    return pack({REFUSAL.STALE, 0, raw, false})
  end
  if is_open(job) then
    if not job[J.copy_waiting] then
      job[J.copy_waiting] = true
      raw = write_job(id, job)
    end
    return pack({REFUSAL.OPEN, 0, raw, false})
  end
  -- Whose turn has come is published when it has left the line.
  if job[J.state] == STATE.WAITING then return pack({REFUSAL.PARKED, 0, raw, false}) end
  open_group(job[J.group_id])
  cancelled = job[J.cancel_requested]
else
  if ARGV[9] == '' then return pack({SAY.unknown_origin}) end
  job = unpacked(ARGV[9])
  job[J.published_at] = now
  open_group(job[J.group_id])
end

local group_cancelled = group and group[G.state] == GROUP.CANCELLED
if ARGV[10] and ARGV[10] ~= '' and not group_cancelled then
  for _, other in ipairs(unpacked(ARGV[10])) do
    local its = call('GET', root .. ':g:' .. other)
    group_cancelled = group_cancelled or its and unpacked(its)[G.state] == GROUP.CANCELLED
  end
end

local refusal, reason
if cancelled then
  refusal, reason = REFUSAL.CANCELLED, REASON.CANCELLED
elseif group_cancelled then
  refusal, reason = REFUSAL.GROUP_CANCELLED, REASON.GROUP_CANCELLED
elseif job[J.expires_at] and now > job[J.expires_at] then
  refusal, reason = REFUSAL.EXPIRED, REASON.EXPIRED
end

local claims = ARGV[11] and ARGV[11] ~= '' and unpacked(ARGV[11]) or {}
local event, called, blocked, fences
move(job, refusal and STATE.REVOKED or STATE.STARTED)
if not was[1] then join_if_open(job) end
if refusal then
  end_job(job, reason)
  called = leave_keys(id, job)
elseif was[1] and not ARGV[12] and call('EXISTS', root .. ':h') == 1 then
  blocked, called = gate_rules().hold_back(id, job, claims)
end
if not refusal and not blocked and (#claims > 0 or job[J.keyed]) then
  blocked, fences, called = lock_rules().take(id, job, claims)
end
if blocked then
  job[J.state] = was[1]
  hold_back(job, blocked)
elseif not refusal then
  open_attempt(job, token, ARGV[7], retries, ARGV[8] ~= '')
  start_group(job)
end
raw, event = commit(id, job, was, ARGV[2])
if blocked then
  local why = blocked.parked and REFUSAL.PARKED or REFUSAL.OVERLAP
  return pack({why, blocked.parked and 0 or 1, raw, event, {}, called, blocked.superseded})
end
if refusal then return pack({refusal, 1, raw, event, called and {}, called}) end
note_start(job)
return pack({0, 0, raw, event, fences, called and #called > 0 and called or nil})
