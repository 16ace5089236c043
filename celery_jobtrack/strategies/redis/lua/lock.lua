-- uses: standing
-- What is known of a key. Reads only. ARGV: 2 key.
-- Gives [value, how many have it, how many wait, when everybody had left it or false, when it is due or false],
-- or false.

return pack(lock_answer(ARGV[2]) or false)
