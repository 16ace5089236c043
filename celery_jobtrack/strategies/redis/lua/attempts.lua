-- uses: jobs
-- Attempts: the last one lies inside of its job, those before it in a list of their own.

-- The attempt with this token, and its place in the list unless it is the last one.
local function attempt_of(id, job, token)
  local current = job[J.attempt]
  if not current then return nil end
  if current[A.token] == token then return current end
  if job[J.attempts] > 1 then
    for index, raw in ipairs(call('LRANGE', root .. ':a:' .. id, 0, -1)) do
      local attempt = unpacked(raw)
      if attempt[A.token] == token then return attempt, index - 1 end
    end
  end
end

-- Give a job an error, or none. An attempt that shares the one before gets a copy of its own.
local function set_error(job, problem)
  local attempt = job[J.attempt]
  if attempt and attempt[A.error] == true then attempt[A.error] = job[J.error] end
  job[J.error] = problem
end

local function open_attempt(job, token, worker, retries, reruns)
  local last = job[J.attempt]
  set_error(job, nil)
  closed_before = last
  local attempt = unpacked(worker)
  attempt[A.token], attempt[A.started_at] = token, now
  if retries > 0 then attempt[A.retries] = retries end
  if reruns then attempt[A.reruns] = true end
  attempt[A.run] = job[J.run]
  job[J.attempt] = attempt
  job[J.attempts] = (job[J.attempts] or 0) + 1
  if retries > (job[J.retries] or 0) then job[J.retries] = retries end
  job[J.started_at], job[J.progress] = now, nil
end

-- Close the last attempt of a job, which gets the same error.
local function close_attempt(job, outcome, problem)
  set_error(job, problem)
  local attempt = job[J.attempt]
  attempt[A.outcome], attempt[A.finished_at] = outcome, now
  attempt[A.error] = problem and true or nil
  job[J.copy_waiting] = nil
end

-- What a closed attempt reports afterwards is kept once, and changes nothing.
local function keep_late(id, job, raw, attempt, place, outcome)
  if attempt[A.outcome] == outcome or attempt[A.late_outcome] then return raw end
  attempt[A.late_outcome] = outcome
  if place then
    call('LSET', root .. ':a:' .. id, place, pack(attempt))
    return raw
  end
  return write_job(id, job)
end
