-- uses: change
-- What holds a group's completion open: while somebody fills it, by token, until when.

-- Change the group's holds: those that have run out go with it. Of a batch that is not sealed they stay:
-- they tell that its dispatcher died.
local function set_hold(token, till)
  local holds, some = {}, false
  local keeps = not group[G.standing] and not group[G.sealed]
  for holder, its in pairs(group[G.fillers] or {}) do
    if (its > now or keeps) and holder ~= token then holds[holder], some = its, true end
  end
  if till then holds[token], some = till, true end
  group[G.fillers] = some and holds or nil
end

-- Hold the group's completion open. A filler that dies must not keep it waiting for its next regular check.
local function hold(token, duration)
  local till = now + duration
  set_hold(token, till)
  group[G.next_check_at] = math.min(group[G.next_check_at] or till, till)
end
