-- uses: placement attempts
-- Put a job into every index where it belongs, and close or free what cannot be.
-- Guards: what is wrong is so still.
-- ARGV: 2 job, 3 'lacks', 'attempt' or 'no group'. Writes the job, its entries. Gives 1, or 0 if it was well.

local id = ARGV[2]
local job = load_job(id)
if not job then return 0 end

if ARGV[3] == 'attempt' then
  if not is_open(job) or job[J.state] == STATE.STARTED then return 0 end
  local was = places(job)
  job[J.attempt][A.outcome], job[J.attempt][A.finished_at] = OUTCOME.LOST, now
  save_job(id, job, was)
  return 1
end

if ARGV[3] == 'no group' then
  if not job[J.generation] or call('EXISTS', root .. ':g:' .. job[J.group_id]) == 1 then return 0 end
  job[J.generation] = nil
  write_job(id, job)
  return 1
end

if #lacks(id, job) == 0 then return 0 end
local is, state = places(job), job[J.state]
local page = file_under_page(':t', job[J.seq], job[J.seq], id)
call('ZADD', root .. ':tp', page, page)
if state ~= STATE.SUCCESS then call('ZADD', root .. ':s:' .. state, job[J.seq], id) end
if state >= STATE.SUCCESS and job[J.ended] then
  local missing = not call('ZSCORE', root .. ':e:' .. state .. ':' .. page_of(job[J.ended]), id)
  if missing and state == STATE.SUCCESS then call('HINCRBY', root, 'succeeded', 1) end
  page = file_under_page(':e:' .. state, job[J.ended], job[J.finished_at], id)
  call('ZADD', root .. ':ep:' .. state, page, page)
end
if is[3] then
  call('ZADD', root .. ':d:' .. is[2], is[3], id)
  call('HSETNX', root .. ':q', is[2], 0)
end
if is[4] then call('ZADD', root .. ':x', is[4], id) end
if is[5] then
  call('ZADD', root .. ':o:' .. is[5], job[J.attempt][A.started_at], id)
  call('SADD', root .. ':o', is[5])
end
if job[J.member] and open_group(job[J.group_id]) then
  local key = ':m:' .. group_id
  if not call('ZSCORE', root .. key .. ':' .. page_of(job[J.member]), id) then
    file_under_page(key, job[J.member], job[J.seq], id)
    group[G.left] = group[G.left] + 1
    save_group()
  end
end
if job[J.stands] or job[J.waits_for] then
  rules.line().file_anew(id, job)
  write_job(id, job)
end
return 1
