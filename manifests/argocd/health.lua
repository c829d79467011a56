-- Health of the kinds of Moorage for Argo CD. All of them keep one status contract, so one script reads them all, and says
-- what kstatus says: Current is Healthy (Suspended when that is what was asked for), InProgress and Terminating are
-- Progressing, Failed is Degraded.
--
-- argocd-cm.yaml beside this file holds it in the form that Argo CD reads. It uses nothing but Lua's base functions, which
-- are all that Argo CD offers by default.

local status = obj.status or {}
local ready, stalled, reconciling

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  elseif condition.type == "Reconciling" and condition.status == "True" then
    reconciling = condition
  end
end

-- Reason and message, as `kubectl get -o wide` shows them side by side.
local function words(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

local function health(state, message)
  return { status = state, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end

-- status.observedGeneration moves when a generation is settled or has failed. Until then conditions may tell how far it is.
if status.observedGeneration ~= obj.metadata.generation then
  if ready ~= nil and ready.observedGeneration == obj.metadata.generation then
    return health("Progressing", words(ready))
  end
  return health("Progressing", "waiting for generation " .. obj.metadata.generation .. " to be taken up")
end

if stalled ~= nil then
  return health("Degraded", words(stalled))
end
if reconciling ~= nil then
  return health("Progressing", words(reconciling))
end
if ready == nil then
  return health("Progressing", "not reported yet")
end
if ready.status ~= "True" then
  return health("Progressing", words(ready))
end
if obj.spec ~= nil and obj.spec.suspend then
  return health("Suspended", words(ready))
end
return health("Healthy", words(ready))
