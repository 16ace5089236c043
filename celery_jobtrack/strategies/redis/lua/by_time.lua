-- uses: jobs
-- Jobs of an index by time, the earliest first, up to a time. Entries of jobs that are not recorded any
-- more, or stand there wrongly since they were recorded anew, are removed.
-- ARGV: 2 index, 3 time before which, or '' for now, 4 limit. Gives [id, job, id, job, …].

local index, queue = root .. ARGV[2], ARGV[2]:match('^:d:(.*)$')
local before = ARGV[3] ~= '' and ARGV[3] or string.format('%.0f', now)
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', index, '-inf', '(' .. before, 'LIMIT', 0, ARGV[4])) do
  local job, raw = load_job(id)
  local is = places(job)
  local stands = is[4]
  if queue then stands = is[3] and is[2] == queue end
  if stands then
    found[#found + 1] = id
    found[#found + 1] = raw
  else
    if not job then
      forget(id)
      call('DEL', root .. ':b:' .. id)
    end
    call('ZREM', index, id)
  end
end
return pack(found)
