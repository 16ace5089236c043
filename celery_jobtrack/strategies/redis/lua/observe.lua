-- uses: core
-- Record that somebody looks at the store, and say whether missing heartbeats count.
-- A full server takes it too, as it takes leases: the field that is written is removed first.
-- ARGV: 2 microseconds of silence after which they do not, 3 for how many microseconds
-- Writes when it was looked at, and until when they do not count. Gives 1 or 0.

local looked, blind = unpack(call('HMGET', root, 'looked_at', 'blind_until'))
call('HDEL', root, 'looked_at')
call('HSET', root, 'looked_at', now)
if looked and now - looked > tonumber(ARGV[2]) then
  blind = now + ARGV[3]
  call('HSET', root, 'blind_until', blind)
end
return (blind and now < tonumber(blind)) and 0 or 1
