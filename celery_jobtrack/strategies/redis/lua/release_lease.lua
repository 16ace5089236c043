-- uses: core
-- Give a lease back. Guard: it is the holder's. ARGV: 2 name, 3 holder. Removes the lease.

local raw = call('GET', root .. ':l:' .. ARGV[2])
if raw and unpacked(raw)[1] == ARGV[3] then call('DEL', root .. ':l:' .. ARGV[2]) end
return 1
