-- Keep frames of several streams, and tell them to whoever follows.
-- KEYS: each stream's hash and log. ARGV, for each: the number of the last frame that is not kept any more, the number
-- of the last frame that comes, and "<number before> <number of the last> LF frames".
-- Returns for each: 1, or 0 where Redis does not know it, or -1 where it has ended.
local told = {}
for number = 1, #KEYS / 2 do
    local head, log = KEYS[2 * number - 1], KEYS[2 * number]
    local evicted, last, piece = ARGV[3 * number - 2], ARGV[3 * number - 1], ARGV[3 * number]
    local state = redis.call('HMGET', head, 'subject', 'outcome', 'last_seq')
    if not state[1] then
        told[number] = 0
    elseif state[2] then
        told[number] = -1
    else
        redis.call('XADD', log, 'MINID', evicted + 1, last .. '-0', 'frames', piece)
        redis.call('HSET', head, 'last_seq', last)
        if not state[3] then
            redis.call('PEXPIRE', log, redis.call('PTTL', head))
        end
        redis.call('PUBLISH', log, piece)
        told[number] = 1
    end
end
return told
