-- Count one request of a client token, unless one of its totals is used up.
-- KEYS[1] the hash of its totals. ARGV: how many requests, tokens and nanodollars there may be (-1: no limit), what
-- this request may cost in nanodollars, for how many seconds the totals are kept.
-- Returns 0 when it was counted, else which is used up: 1 requests, 2 tokens, 3 cost.
local requests_max, tokens_max, cost_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'nano_usd')
local requests, tokens, cost = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)

if requests_max >= 0 and requests >= requests_max then
    return 1
elseif tokens_max >= 0 and tokens >= tokens_max then
    return 2
elseif cost_max >= 0 and cost + tonumber(ARGV[4]) > cost_max then
    return 3
end
redis.call('HINCRBY', KEYS[1], 'requests', 1)
if tonumber(ARGV[4]) > 0 then
    redis.call('HINCRBY', KEYS[1], 'nano_usd', ARGV[4])
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 0
