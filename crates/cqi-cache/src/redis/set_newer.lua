local there = redis.pcall('GETRANGE', KEYS[1], 0, 29)
local value = ARGV[1]
if type(there) == 'string' and #there == 30
  and there:byte(1) == value:byte(1) and there:sub(3, 10) == value:sub(3, 10) then
  for at = 23, 30 do
    if there:byte(at) > value:byte(at) then return 0 end
    if there:byte(at) < value:byte(at) then break end
  end
end
if ARGV[2] then
  redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
else
  redis.call('SET', KEYS[1], value)
end
return 1
