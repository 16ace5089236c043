-- uses: placement
-- Look at some entries of one large index. Reads only.
-- ARGV: 2 the index, 3 where to go on, 4 how many. Gives [where to go on, how many, {'extra', entry, index}, …].

local key = root .. ARGV[2]
local kind = call('TYPE', key)
kind = kind.ok or kind
if kind == 'none' then return pack({'0', 0, {}}) end
local scan = ({zset = 'ZSCAN', hash = 'HSCAN', set = 'SSCAN'})[kind]
local step = kind == 'set' and 1 or 2
local scanned = call(scan, key, ARGV[3], 'COUNT', ARGV[4])
local found, number = {}, 0
for place = 1, #scanned[2], step do
  number = number + 1
  local member = scanned[2][place]
  if not belongs(ARGV[2], member) then found[#found + 1] = {'extra', member, ARGV[2]} end
end
return pack({scanned[1], number, found})
