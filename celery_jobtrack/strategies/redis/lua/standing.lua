-- uses: locks
-- How jobs stand at keys, for those who look.

local rules = lock_rules()

-- How a job stands at a key, and since when; nil if it does not.
local function standing_at(id, job, key)
  local entry = rules.standing_of(job, key)
  if not entry then return nil end
  local since = call('ZSCORE', root .. ':lh:' .. key, id)
  if since then return entry[PLACE.fence] and STANDING.HOLDING or STANDING.CALLED, tonumber(since), entry end
  if job[J.waits_for] ~= key then return nil end
  if call('ZSCORE', root .. ':lw:' .. key, id) then return STANDING.WAITING, entry[PLACE.since], entry end
  since = call('ZSCORE', root .. ':ls', id)
  if since then return STANDING.SUPERSEDED, tonumber(since), entry end
end

-- What is known of a key: [value, how many have it, how many wait, when everybody had left it or false, when it
-- is due or false]; nil if nothing is.
local function lock_answer(key)
  local raw = call('GET', root .. ':lk:' .. key)
  if not raw then return nil end
  local left, due = call('ZSCORE', root .. ':lt', key), call('ZSCORE', root .. ':ld', key)
  return {raw, call('ZCARD', root .. ':lh:' .. key), call('ZCARD', root .. ':lw:' .. key),
          left and tonumber(left) or false, due and tonumber(due) or false}
end
