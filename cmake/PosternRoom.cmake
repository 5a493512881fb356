# A room is a folder and a library: postern_room(tls LINKS ... PRIVATE_LINKS ...) makes postern::tls of every source below
# the folder. The arrows between rooms are the LINKS; tests/architecture_test.py holds the #includes against the same table.
# The library headers that most of a target's sources share, parsed once. For the sanitizers' builds, which nobody ships:
# the others find an #include that is missing.
function(postern_precompile target)
  if(POSTERN_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE <algorithm> <chrono> <filesystem> <functional> <map> <memory> <mutex>
      <optional> <string> <string_view> <thread> <variant> <vector> ${ARGN})
  endif()
endfunction()

function(postern_room name)
  cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(postern_${name} STATIC ${sources})
  add_library(postern::${name} ALIAS postern_${name})
  set_target_properties(postern_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(postern_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/postern>)
  target_compile_features(postern_${name} PUBLIC cxx_std_20)
  target_link_libraries(postern_${name} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS} $<BUILD_INTERFACE:postern_warnings>)
  postern_precompile(postern_${name})
endfunction()
