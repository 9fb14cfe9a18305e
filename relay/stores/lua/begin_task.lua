-- A task's upstream is about to be called. KEYS: the hash of taken tasks. ARGV: stream, who took it.
-- Returns 1, or 0 where somebody took this process for dead meanwhile: then it must not be run.
local taken = redis.call('HGET', KEYS[1], ARGV[1])
local known = taken and cjson.decode(taken)
if not known or known.worker ~= ARGV[2] then
    return 0
end
known.begun = true
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(known))
return 1
