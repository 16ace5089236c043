-- uses: groups
-- Record a group. Guards: neither its id nor its key is taken; else the one that is there is given.
-- ARGV: 2 group, 3 key or '', 4 numbers, 5 texts. Writes the group. Gives [id, numbers, texts].

local id = ARGV[2]
if call('EXISTS', root .. ':g:' .. id) == 0 and ARGV[3] ~= '' then
  id = call('HGET', root .. ':k', ARGV[3]) or id
end
if not open_group(id) then
  id = ARGV[2]
  group, group_id, group_was = unpacked(ARGV[4]), id, {}
  group[G.seq] = call('HINCRBY', root, 'groups', 1)
  group[G.created_at] = now
  call('ZADD', root .. ':G', group[G.seq], id)
  if ARGV[3] ~= '' then call('HSET', root .. ':k', ARGV[3], id) end
  call('SET', root .. ':c:' .. id, ARGV[5])
  save_group()
end
return pack({id, pack(group), call('GET', root .. ':c:' .. id)})
