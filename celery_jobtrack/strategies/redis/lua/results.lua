-- uses: core
-- What jobs returned, as far as it was kept. Reads only. ARGV: 2 and on, jobs. Gives [result or false, …].

local keys = {}
for place = 2, #ARGV do keys[place - 1] = root .. ':r:' .. ARGV[place] end
return pack(call('MGET', unpack(keys)))
