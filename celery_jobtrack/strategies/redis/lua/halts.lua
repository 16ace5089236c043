-- uses: core
-- Every halt. Reads only. Gives [kind and name, [since, reason or ''], …].

local found = {}
for _, part in ipairs(call('HGETALL', root .. ':h')) do found[#found + 1] = part end
return pack(found)
