-- uses: core
-- How many jobs have succeeded, and how many events are pending: counted from the indexes, unless these are
-- too large for one script. ARGV: 2 '1' to write what is right.
-- Gives what is wrong in words, or '' if nothing is; 1 or 0 if it may write.

local LARGEST = 10000
local wrong = {}

local function compare(field, what, index, size)
  if call('ZCARD', root .. index) > LARGEST then return end
  local counted = 0
  for _, part in ipairs(call('ZRANGE', root .. index, 0, -1)) do counted = counted + size(part) end
  local stored = tonumber(call('HGET', root, field) or 0)
  if stored == counted then return end
  wrong[#wrong + 1] = string.format('%d %s are counted, and there are %d', stored, what, counted)
  if ARGV[2] == '1' then call('HSET', root, field, counted) end
end

compare('succeeded', 'jobs that succeeded', ':ep:' .. STATE.SUCCESS, function(page)
  return call('ZCARD', root .. ':e:' .. STATE.SUCCESS .. ':' .. page)
end)
compare('pending', 'events to deliver', ':vd', function(of_group)
  return call('LLEN', root .. ':ge:' .. of_group)
end)
if ARGV[2] == '1' then return #wrong > 0 and 1 or 0 end
return table.concat(wrong, '; ')
