-- uses: workers
-- Record that a worker is gone. Guard: it has not stopped; its lease never grows.
-- A full server takes it too. ARGV: 2 worker. Writes the worker.

local worker = load_worker(ARGV[2])
if not worker or worker[W.stopped_at] then return 0 end
worker[W.lease_until], worker[W.stopped_at] = math.min(now, worker[W.lease_until]), now
call('HDEL', root .. ':w', ARGV[2])
call('HSET', root .. ':w', ARGV[2], pack(worker))
return 1
