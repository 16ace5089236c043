-- uses: locks
-- Take a key away from all who have it. Guard: not from who was called and has not left the line.
-- ARGV: 2 key. Writes its places and their jobs, and calls who is next. Gives who is called.

local key, called, rules = ARGV[2], {}, lock_rules()
for _, id in ipairs(call('ZRANGE', root .. ':lh:' .. key, 0, -1)) do
  local job = load_job(id)
  if not job then
    call('ZREM', root .. ':lh:' .. key, id)  -- it was dropped
  elseif job[J.waits_for] ~= key then
    call('ZREM', root .. ':lh:' .. key, id)
    rules.give_up_those(id, job, function(entry) return entry[1] == key end)
    write_job(id, job)
  end
end
if call('EXISTS', root .. ':lk:' .. key) == 1 then rules.line().call_next(key, called) end
return pack(called)
