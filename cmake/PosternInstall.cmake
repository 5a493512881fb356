# install(): the server with its unit and example configuration, and a CMake package, so that another mail server can
# find_package(Postern COMPONENTS tls acme) and link postern::tls and postern::acme alone.
#
# Each library is an export set of its own, and PosternConfig.cmake loads those asked for: who wants tls needs neither
# libevent nor GMime.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Postern)
foreach(component base tls acme listeners)
  install(TARGETS postern_${component} EXPORT Postern-${component} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT devel)
  install(EXPORT Postern-${component} NAMESPACE postern:: DESTINATION ${package_dir} COMPONENT devel)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${component} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/postern COMPONENT devel
          FILES_MATCHING PATTERN "*.h")
endforeach()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/PosternConfig.cmake.in
  ${PROJECT_BINARY_DIR}/PosternConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/PosternConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/PosternConfig.cmake ${PROJECT_BINARY_DIR}/PosternConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT devel)

install(TARGETS postern RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)
configure_file(${PROJECT_SOURCE_DIR}/packaging/postern.service.in ${PROJECT_BINARY_DIR}/postern.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/postern.service DESTINATION lib/systemd/system COMPONENT server)
install(FILES ${PROJECT_SOURCE_DIR}/packaging/postern.sysusers.conf DESTINATION lib/sysusers.d RENAME postern.conf COMPONENT server)
# An example, not a configuration: nobody's own file is ever written over.
install(FILES ${PROJECT_SOURCE_DIR}/packaging/postern.toml DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server)
