-- uses: groups
-- Walking a group's members.

-- Call visit(id, state, generation, value) for each member of one page, in no order.
local function visit_page(page, visit)
  local ids = call('ZRANGE', root .. ':m:' .. group_id .. ':' .. page, 0, -1)
  if #ids == 0 then return 0 end
  local keys = {}
  for index, id in ipairs(ids) do keys[index] = root .. ':j:' .. id end
  for index, raw in ipairs(call('MGET', unpack(keys))) do
    if raw then
      -- The first two of three, without the rest: past the byte that says that there are three.
      local _, state, generation = cmsgpack.unpack_limit(raw, 2, 1)
      visit(ids[index], state, generation, raw)
    end
  end
  return #ids
end
