-- uses: core
-- Keys in whose lines somebody may be called as time passes, the earliest first. Reads only.
-- ARGV: 2 time up to which, 3 limit. Gives [key, when, key, when, …].

local found = call('ZRANGEBYSCORE', root .. ':ld', '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for place = 2, #found, 2 do found[place] = tonumber(found[place]) end
return pack(found)
