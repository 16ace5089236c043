-- uses: groups
-- A page of groups, newest first. Reads only, a bounded number of them.
-- ARGV: 2 state or '', 3 due before or '', 4 limit, 5 below this number or '', 6 how many to look at
-- Gives [number to go on below or false, id, numbers, texts, …].

local state, due, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local index = (state and state ~= GROUP.COMPLETED) and ':G:' .. state or ':G'
local top = ARGV[5] == '' and '+inf' or '(' .. ARGV[5]
-- Where the index answers alone, a page is all that is read.
local budget = (due or state == GROUP.COMPLETED) and tonumber(ARGV[6]) or limit
local found, count, last = {false}, 0, nil
local rows = call('ZREVRANGEBYSCORE', root .. index, top, '-inf', 'WITHSCORES', 'LIMIT', 0, budget + 1)
for place = 1, #rows, 2 do
  if count == limit or place > 2 * budget then
    found[1] = last
    break
  end
  local raw = call('GET', root .. ':g:' .. rows[place])
  local its = raw and unpacked(raw)
  local check = its and its[G.next_check_at]
  if its and (not state or its[G.state] == state) and (not due or check and check < due) then
    found[#found + 1] = rows[place]
    found[#found + 1] = raw
    found[#found + 1] = call('GET', root .. ':c:' .. rows[place])
    count = count + 1
  end
  last = rows[place + 1]
end
return pack(found)
