-- uses: core
-- The store's time.
return string.format('%.0f', now)
