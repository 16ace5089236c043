-- uses: core
-- A job and its attempts. Reads only. ARGV: 2 job. Gives [job or false, attempt, …].

local found = {call('GET', root .. ':j:' .. ARGV[2])}
for _, attempt in ipairs(call('LRANGE', root .. ':a:' .. ARGV[2], 0, -1)) do found[#found + 1] = attempt end
return pack(found)
