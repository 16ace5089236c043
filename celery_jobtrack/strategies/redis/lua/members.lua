-- uses: groups
-- Walking a group's members.

-- Call visit(id, state, generation, value) for each member of one page, in no order. Members that were
-- dropped are taken off it: whoever finds some must save the group.
local found_dropped = false
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
    else
      call('ZREM', root .. ':m:' .. group_id .. ':' .. page, ids[index])
      group[G.left] = math.max(0, group[G.left] - 1)
      found_dropped = true
    end
  end
  return #ids
end
