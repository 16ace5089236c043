-- uses: core
-- Queues with jobs that should be in the broker since before a time.
-- A queue that has nothing due is forgotten once what it remembers is older than that: jobs that come
-- to it later are published later. ARGV: 2 time. Gives [queue, …], the longest overdue first.

local before, late = tonumber(ARGV[2]), {}
local queues = call('HGETALL', root .. ':q')
for place = 1, #queues, 2 do
  local first = call('ZRANGE', root .. ':d:' .. queues[place], 0, 0, 'WITHSCORES')
  if #first == 0 then
    if tonumber(queues[place + 1]) < before then call('HDEL', root .. ':q', queues[place]) end
  elseif tonumber(first[2]) < before and queues[place] ~= '' then
    late[#late + 1] = {tonumber(first[2]), queues[place]}
  end
end
table.sort(late, function(one, other) return one[1] < other[1] end)
for place, queue in ipairs(late) do late[place] = queue[2] end
return pack(late)
