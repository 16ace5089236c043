-- uses: locks
-- Take a key away from all who have it, and forget what a rate has let through. Guard: not from who was called
-- and has not left the line.
-- ARGV: 2 key. Writes its places and their jobs, and calls who is next. Gives who is called.

local key, called, rules = ARGV[2], {}, lock_rules()
for _, id in ipairs(call('ZRANGE', root .. ':lh:' .. key, 0, -1)) do
  local job = load_job(id)
  if not job or job[J.waits_for] ~= key then rules.drop(key, id) end
end
if call('EXISTS', root .. ':lk:' .. key) == 1 then
  local lock = rules.load(key)
  lock[L.next_at] = nil
  rules.line().call_next(key, called, lock)
end
return pack(called)
