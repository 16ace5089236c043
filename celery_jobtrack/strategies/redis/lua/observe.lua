-- uses: workers
-- Record that somebody looks at the store, and say whether missing heartbeats count.
-- A full server takes it too, as it takes leases: the field that is written is removed first.
-- ARGV: 2 microseconds of silence after which they do not, 3 for how many microseconds
-- Reads the workers, after a silence only: one that said goodbye is not missed (WorkerRecord.is_missing).
-- Writes when it was looked at, and until when they do not count. Gives 1 or 0.

local looked, blind = unpack(call('HMGET', root, 'looked_at', 'blind_until'))
looked = tonumber(looked or now)

local function is_anybody_missing()
  for _, raw in ipairs(call('HVALS', root .. ':w')) do
    local worker = unpacked(raw)
    if not worker[W.stopped_at] and worker[W.lease_until] >= looked
       and worker[W.heartbeat_at] < now - ARGV[2] then
      return true
    end
  end
  return false
end

local after_outage = now - looked > tonumber(ARGV[2]) and is_anybody_missing()
call('HDEL', root, 'looked_at')
call('HSET', root, 'looked_at', now)
if after_outage then
  blind = now + ARGV[3]
  call('HSET', root, 'blind_until', blind)
end
return (blind and now < tonumber(blind)) and 0 or 1
