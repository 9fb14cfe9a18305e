-- Take a slot of a key, if one is free. The set holds the key's leases, scored by when they expire.
-- KEYS[1] the set. ARGV: the lease, how many there may be (0: no limit), how long it lasts in milliseconds.
-- Returns 1 when it was taken, else 0.
local slots_max, lease_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- No lease reaches that far: the clock was set back. Who still lives announces its leases again within seconds.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + lease_ms + 60000, '+inf')

if slots_max > 0 and redis.call('ZCARD', KEYS[1]) >= slots_max then
    return 0
end
redis.call('ZADD', KEYS[1], now + lease_ms, ARGV[1])
redis.call('PEXPIRE', KEYS[1], lease_ms)
return 1
