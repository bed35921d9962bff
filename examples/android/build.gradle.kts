// What an app module needs besides its own: the runtime, and a model that is not compressed in the APK.
android {
    defaultConfig { minSdk = 24 }
    androidResources { noCompress += "tflite" }
}

dependencies {
    implementation("com.google.ai.edge.litert:litert:2.3.0")
    implementation("com.google.ai.edge.litert:litert-gpu:2.3.0") // for Accelerator.GPU alone
}
