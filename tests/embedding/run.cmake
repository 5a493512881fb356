# Installs the build tree into a fresh prefix, then configures, builds and runs the example against it and nothing else.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed (${result}): ${ARGV}")
  endif()
endfunction()

set(prefix ${WORK}/prefix)
file(REMOVE_RECURSE ${prefix} ${WORK}/example ${WORK}/tls-only)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix} --component devel)

foreach(header base/clock.h tls/server_context.h acme/manager.h)
  if(NOT EXISTS ${prefix}/${INCLUDEDIR}/postern/${header})
    message(FATAL_ERROR "not installed: ${header}")
  endif()
endforeach()

run(${CMAKE_COMMAND} -S ${EXAMPLE} -B ${WORK}/example -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${prefix})
run(${CMAKE_COMMAND} --build ${WORK}/example)
run(${WORK}/example/embedding)

# Whoever wants tls needs neither libevent nor GMime nor curl nor ldns: none of them may even be looked for.
file(WRITE ${WORK}/tls-only/CMakeLists.txt "
cmake_minimum_required(VERSION 3.25)
project(TlsOnly LANGUAGES CXX)
set(CMAKE_DISABLE_FIND_PACKAGE_CURL TRUE)
find_package(Postern REQUIRED COMPONENTS tls)
foreach(target postern::acme postern::listeners PkgConfig::libevent PkgConfig::gmime CURL::libcurl PkgConfig::libldns)
  if(TARGET \${target})
    message(FATAL_ERROR \"COMPONENTS tls brought \${target}\")
  endif()
endforeach()
find_package(Postern QUIET COMPONENTS nonsense)
if(Postern_FOUND)
  message(FATAL_ERROR \"a component that does not exist was found\")
endif()
")
run(${CMAKE_COMMAND} -S ${WORK}/tls-only -B ${WORK}/tls-only/build -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${prefix})
