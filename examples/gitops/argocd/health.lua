-- Health of a JobQueue for Argo CD: healthy while its condition Ready is True for the spec that is there.
-- A queue at zero is healthy: no job, no pod.
local health = { status = "Progressing", message = "The operator has not reported yet." }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if obj.metadata.generation ~= nil and (status.observedGeneration or 0) < obj.metadata.generation then
  health.message = "The operator has not reported on this generation yet."
  return health
end
if obj.spec ~= nil and obj.spec.stopPolicy ~= nil and obj.spec.stopPolicy ~= "None" then
  return { status = "Suspended", message = "stopPolicy is " .. obj.spec.stopPolicy .. "." }
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    local reason = condition.reason or "Unknown"
    health.message = reason .. ": " .. (condition.message or "")
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" and reason ~= "Starting" then
      health.status = "Degraded"
    end
    return health
  end
end
return health
