-- uses: workers
-- Record that a worker runs, or renew its lease; one that was given up is registered again.
-- A full server takes it too: there also, only who is gone may be given up.
-- ARGV: 2 worker, 3 name, 4 pid, 5 microseconds, 6 '1' to register it anew. Writes the worker.

local known = load_worker(ARGV[2])
local since = now
if ARGV[6] ~= '1' and is_alive(known) then since = known[W.registered_at] end
call('HDEL', root .. ':w', ARGV[2])
call('HSET', root .. ':w', ARGV[2], pack({
  [W.name] = ARGV[3],
  [W.pid] = tonumber(ARGV[4]),
  [W.registered_at] = since,
  [W.heartbeat_at] = now,
  [W.lease_until] = now + ARGV[5],
}))
return 1
