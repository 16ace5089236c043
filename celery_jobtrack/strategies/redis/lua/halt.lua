-- uses: gates
-- Record that nothing of a queue or a task may start. Guard: that is not recorded, or was lifted.
-- ARGV: 2 kind and name, 3 reason or ''. Writes :h. Gives 1 or 0.

if gate_rules().is_halted(ARGV[2]) then return 0 end
call('HSET', root .. ':h', ARGV[2], pack({now, ARGV[3], false}))
return 1
