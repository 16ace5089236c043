-- uses: locks
-- Gates: keys of which people say whether anybody may pass them.

-- Let nobody through a gate from now on.
local function close_gate(key)
  local rules = lock_rules()
  local lock, is_new = rules.load(key)
  lock[L.kind], lock[L.limit] = LINE.GATE, 0
  rules.save(key, lock, is_new)
  call('ZREM', root .. ':ld', key)
end

-- Let everybody through a gate again. Gives who is called; of many that wait the first ones.
local function open_gate(key)
  local called, rules = {}, lock_rules()
  local lock, is_new = rules.load(key)
  lock[L.kind], lock[L.limit] = LINE.GATE, C.unlimited
  rules.line().call_next(key, called, lock, is_new)
  return called
end
