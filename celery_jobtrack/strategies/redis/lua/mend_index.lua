-- uses: placement
-- Remove an entry from an index. Guard: it does not belong there.
-- ARGV: 2 the index, 3 the entry. Gives 1, or 0 if it was well.

local suffix, member = ARGV[2], ARGV[3]
local key = root .. suffix
local kind, rest = named(suffix)
if call('EXISTS', key) == 0 or belongs(suffix, member) then return 0 end
if kind == 'k' then return call('HDEL', key, member) end
if kind == 'o' and rest == '' then return call('SREM', key, member) end
local state, page = rest:match('^(%d+):(%d+)$')
local is_counted = kind == 'e' and call('ZSCORE', root .. ':ep:' .. state, page)
local removed = call('ZREM', key, member)
if removed == 0 then return 0 end
local is_empty = call('EXISTS', key) == 0
if kind == 't' and is_empty then call('ZREM', root .. ':tp', rest) end
if kind == 'e' then
  if is_empty then call('ZREM', root .. ':ep:' .. state, page) end
  if is_counted and tonumber(state) == STATE.SUCCESS then call('HINCRBY', root, 'succeeded', -1) end
end
if kind == 'o' and is_empty then call('SREM', root .. ':o', rest) end
if kind == 'm' and open_group(rest:match('^(.*):%d+$')) then
  group[G.left] = math.max(0, group[G.left] - 1)
  save_group()
end
-- Who waits is called, and found by the checker.
if kind == 'lh' or kind == 'lw' then
  call('ZREM', root .. ':ld', rest)
  rules.line().call_next(rest, {})
end
return 1
