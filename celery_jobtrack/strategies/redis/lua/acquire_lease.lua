-- uses: core
-- Take or renew a named lease. Guard: nobody else holds it. It removes itself when it has run out.
-- A full server takes it too: the checker must work there, to prune. It refuses what may grow as the first
-- write of a script, and nothing after a first write that frees.
-- ARGV: 2 name, 3 holder, 4 microseconds. Writes the lease. Gives 1, or 0 while somebody else holds it.

local raw = call('GET', root .. ':l:' .. ARGV[2])
if raw then
  local held = unpacked(raw)
  if held[1] ~= ARGV[3] and held[2] > now then return 0 end
end
call('DEL', root .. ':l:' .. ARGV[2])
call('SET', root .. ':l:' .. ARGV[2], pack({ARGV[3], now + ARGV[4]}), 'PX', math.ceil(ARGV[4] / 1000) + 1)
return 1
