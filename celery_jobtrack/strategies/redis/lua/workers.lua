-- uses: core
-- Workers. :w has them by their identities.

local function load_worker(id)
  local raw = call('HGET', root .. ':w', id)
  return raw and unpacked(raw) or nil
end

local function is_alive(worker)
  return worker and not worker[W.stopped_at] and now <= worker[W.lease_until]
end
