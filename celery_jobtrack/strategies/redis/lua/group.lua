-- uses: groups
-- One group. Reads only. ARGV: 2 group or '', 3 key. Gives [id, numbers, texts, time] or [].

local id = ARGV[2]
if id == '' then id = call('HGET', root .. ':k', ARGV[3]) end
if not id then return pack({}) end
local raw = call('GET', root .. ':g:' .. id)
if not raw then return pack({}) end
return pack({id, raw, call('GET', root .. ':c:' .. id), now})
