-- uses: core
-- Every halt, also those that were lifted. Reads only. Gives [kind and name, value, …].

return pack(call('HGETALL', root .. ':h'))
