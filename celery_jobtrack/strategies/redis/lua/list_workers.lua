-- uses: core
-- Every worker. Reads only. Gives [time, id, worker, id, worker, …].

local found = {now}
for _, part in ipairs(call('HGETALL', root .. ':w')) do found[#found + 1] = part end
return pack(found)
