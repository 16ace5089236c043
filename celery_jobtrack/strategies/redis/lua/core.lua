-- What every operation begins with: the root of its keys, all in one slot, and the store's time in
-- microseconds. ARGV[1] is added to the server's clock; only tests move it.
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local root = KEYS[1]
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2] + ARGV[1]
