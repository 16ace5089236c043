-- uses: ends groups
-- Jobs that are deleted: by their age, or one by one. The group of the job is the one in hand.

-- Whether the job is counted in a generation that is not over, or its group has an event to deliver.
local function is_awaited(job)
  if not group then return false end
  return counts(job[J.generation]) and not group[G.completed_at]
    or call('EXISTS', root .. ':ge:' .. group_id) == 1
end

-- Delete a job that has ended, and its entries in the indexes. What its group has counted stays.
local function remove_job(id, job)
  local state = job[J.state]
  call('DEL', root .. ':j:' .. id, root .. ':a:' .. id, root .. ':b:' .. id, root .. ':r:' .. id)
  remove_by_order(job[J.seq], id)
  remove_end(state, job[J.ended], id)
  if state ~= STATE.SUCCESS then call('ZREM', root .. ':s:' .. state, id) end
  if group and job[J.member] then
    remove_from(':m:' .. group_id, job[J.member], id)
    group[G.left] = group[G.left] - 1
    save_group()
  end
end
