-- uses: locks
-- Gates: the keys at which jobs of what is halted wait. The rules of strategies/row/gates.py, once more.
--
-- :h   what is halted, by kind and name: [since, reason or '', whether it is lifted]
--
-- A gate has the limit 0, so that nobody who leaves its line calls the next one: only lifting its halt does.

local function gate_rules()
  local gates, prefix = {}, 'gate:'

  function gates.key_of(name) return prefix .. name end

  -- Whether jobs may not start because of this.
  function gates.is_halted(name)
    local raw = call('HGET', root .. ':h', name)
    return raw and not unpacked(raw)[3]
  end

  -- Let a job that would start wait at the first gate before it that is closed, if its message is kept:
  -- nobody could publish it again without. Whose turn it was somewhere is so no more.
  -- Gives how it is blocked, as lock_rules().take does, or nil; and who is called.
  function gates.hold_back(id, job, claims)
    if call('EXISTS', root .. ':b:' .. id) == 0 then return nil end
    local names = {'task:' .. job[J.task]}
    if job[J.queue] then table.insert(names, 1, 'queue:' .. job[J.queue]) end
    for _, name in ipairs(names) do
      if gates.is_halted(name) then
        local rules, key = lock_rules(), gates.key_of(name)
        local called = rules.give_up_turns(id, job, claims)
        local lock, is_new = rules.load(key)
        lock[L.limit] = 0
        rules.save(key, lock, is_new)
        job[J.keyed] = true
        job[J.seq] = job[J.seq] or call('HINCRBY', root, 'seq', 1)
        rules.line().line_up(id, job, key)
        rules.stand(job, {key, false, nil, now})
        return {key = key, parked = true, superseded = {}}, called
      end
    end
  end

  -- Call the first of those who wait at a gate. Gives them, and whether somebody still waits.
  function gates.call_some(key, most)
    local rules, called = lock_rules(), {}
    local first = rules.first_of(':lw:', key)
    while first and #called < most do
      call('ZREM', root .. ':lw:' .. key, first)
      -- What is left of a job that was dropped is passed over.
      if call('EXISTS', root .. ':j:' .. first) == 1 then
        call('ZADD', root .. ':lh:' .. key, now, first)
        call('ZADD', root .. ':lc', now, first)
        called[#called + 1] = first
      end
      first = rules.first_of(':lw:', key)
    end
    return called, first and true or false
  end

  -- Let a job go that was called at a gate: nothing of it is kept there.
  function gates.go_through(id, job, key)
    if string.sub(key, 1, #prefix) == prefix then
      lock_rules().give_up_those(id, job, function(entry) return entry[1] == key end)
    end
  end

  return gates
end
